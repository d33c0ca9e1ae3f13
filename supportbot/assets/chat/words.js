/**
 * Everything that people read and that does not come from the server, in English. A
 * page in another language gives the element its own words:
 * `element.words = { send: "Senden" }`.
 */
export const words = {
  // The frame.
  title: "Support",
  menu: "Menu",
  logIn: "Log in",
  logOut: "Log out",
  renew: "New conversation",
  renewing: "An answer under way is not shown there. What is not sent yet goes along.",
  renewed: "This is a new conversation.",
  download: "Download conversation",
  loggedInAs: (/** @type {string} */ name) => `Logged in as ${name}`,
  loggedOut: "You are logged out.",
  dismiss: "Dismiss",
  skip: "Go to the message field",

  // Logging in.
  logInWhy: "Log in to see your orders, and to place one.",
  email: "E-mail address",
  pin: "PIN",
  pinShape: "4 to 8 digits",
  loggingIn: "Logging in…",
  cancel: "Cancel",

  // Writing.
  message: "Message",
  placeholder: "Write a message…",
  hint: "Enter sends, Shift+Enter makes a new line.",
  send: "Send",
  stop: "Stop answer",
  left: (/** @type {number} */ count) => `${count} left`,
  over: (/** @type {number} */ count) => `${count} too many`,
  tooLong: "This is too long for one message. Shorten it, or send it in parts.",

  // What goes on.
  connecting: "Connecting…",
  reconnecting: "No connection. What you write is kept; trying again…",
  offline: "You are offline. What you write is kept, and sent when you are back.",
  answering: (/** @type {string} */ name) => `The ${name} is answering…`,
  inLine: (/** @type {number} */ count) =>
    count === 1 ? "1 message is in line." : `${count} messages are in line.`,

  unreachable: "The server can't be reached.",
  refused: (/** @type {number} */ status) => `This did not work (${status}).`,
  gone: "This conversation is no longer there; a new one was begun.",
  unsure: "This may have been said in the conversation before.",

  // The log.
  log: "Conversation",
  messages: "Messages",
  suggestions: "What you can ask",
  newer: "New messages",
  you: "You",
  sending: "Sending…",
  waiting: "Waiting for connection; will be sent by itself",
  queued: "Waiting for its turn",
  notSent: "Not sent.",
  retry: "Retry",
  remove: "Remove",
  outcomes: {
    cut: "This answer broke off.",
    stopped: "You stopped this answer.",
    refused: "This could not be answered.",
    failed: "Something went wrong on our side.",
  },
  again: "Ask again",
  order: "Your order",
  yes: "Yes, place the order",
  no: "No",
  copy: "Copy answer",
  copied: "Copied",
  notCopied: "This browser did not let us copy it.",
  table: "Table",
  code: "Code",
  file: "conversation",

  // In a corner of another site.
  launcher: "Chat with us",
  unread: (/** @type {number} */ count) =>
    count === 1 ? "1 new answer" : `${count} new answers`,
  opening: "Opening the chat…",
  unavailable: "The chat can't be opened at the moment. Please try again later.",
};
