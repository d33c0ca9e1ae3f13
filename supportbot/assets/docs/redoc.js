"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const night = {
  colors: {
    primary: { main: "#8ab4f8" },
    success: { main: "#81c995" },
    error: { main: "#f28b82" },
    text: { primary: "#e8eaed", secondary: "#bdc1c6" },
    border: { dark: "#5f6368", light: "#3c4043" },
    responses: {
      success: { color: "#81c995", backgroundColor: "#1d3326" },
      error: { color: "#f28b82", backgroundColor: "#3b2020" },
      redirect: { color: "#fdd663", backgroundColor: "#3a3320" },
      info: { color: "#8ab4f8", backgroundColor: "#1d2b42" },
    },
  },
  schema: {
    linesColor: "#5f6368",
    nestedBackground: "#26282b",
    typeNameColor: "#bdc1c6",
    typeTitleColor: "#bdc1c6",
  },
  sidebar: { backgroundColor: "#26282b", textColor: "#e8eaed" },
  rightPanel: { backgroundColor: "#111315" },
  typography: {
    code: { color: "#f28b82", backgroundColor: "#2d2f31" },
    links: { color: "#8ab4f8" },
  },
};
const fonts = { fontFamily: "system-ui, sans-serif" };
const theme = dark.matches ? night : {};
theme.typography = {
  ...theme.typography,
  ...fonts,
  headings: fonts,
  code: { ...theme.typography?.code, fontFamily: "ui-monospace, monospace" },
};

// At the foot of its menu ReDoc shows a picture from another host, whatever it is told.
const picture = HTMLImageElement.prototype;
const { get, set } = Object.getOwnPropertyDescriptor(picture, "src");
const ours = (url) =>
  [location.origin, "null"].includes(new URL(url, location).origin); // null: `data:`
Object.defineProperty(picture, "src", {
  get,
  set(url) {
    if (ours(url)) set.call(this, url);
  },
});
picture.setAttribute = function (name, value) {
  if (name !== "src" || ours(value)) {
    Element.prototype.setAttribute.call(this, name, value);
  }
};

dark.addEventListener("change", () => location.reload());
Redoc.init(
  document.body.dataset.document,
  {
    disableSearch: document.body.dataset.search === undefined,
    hideDownloadButton: false,
    schemaDefinitionsTagName: "Shapes",
    theme,
  },
  document.getElementById("page"),
);
