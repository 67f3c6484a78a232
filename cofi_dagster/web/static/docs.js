// The page of the API: Swagger UI, which asks no other machine, and whose trial requests carry the session's token.
"use strict";
(() => {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();
  SwaggerUIBundle({
    url: "/cofi/openapi.json",
    dom_id: "#api",
    deepLinking: false,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    showMutatedRequest: false,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (request.method && request.method !== "GET") request.headers["X-CSRF-Token"] = token;
      return request;
    },
    onComplete: () => { document.getElementById("api").dataset.ready = ""; },
  });
})();
