"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const shade = () =>
  document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

SwaggerUIBundle({
  dom_id: "#page",
  url: document.body.dataset.document,
  deepLinking: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null, // it would send the document to another host
});
