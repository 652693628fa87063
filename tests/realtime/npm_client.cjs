// The stock npm client, with no option but its token. Prints one JSON line for each thing that happens; each line on
// stdin is [event, argument] to emit, or ["drop"] to cut the transport under it.
const { io } = require("socket.io-client");
const say = (...what) => console.log(JSON.stringify(what));

const socket = io(process.env.REALTIME_URL, { auth: { token: process.env.TOKEN } });
socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => say("connect_error", error.message, error.data ?? null));
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.onAny((name, ...args) => {
  if (args[1] && args[1].seq) socket.auth.events_after = args[1].seq;
  say("event", name, args);
});
socket.io.engine.on("upgrade", (transport) => say("upgrade", transport.name));

require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, ...args] = JSON.parse(line);
  if (name === "drop") return socket.io.engine.close();
  socket.emit(name, ...args, (answer) => say("ack", name, answer));
});
