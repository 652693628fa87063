// No validator: that badge would send the document to a server on the internet.
SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#swagger-ui", validatorUrl: null, deepLinking: true });
