Redoc.init("/api/openapi.json", {}, document.getElementById("redoc"));
