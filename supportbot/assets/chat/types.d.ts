// The shapes that the page's modules share. Browsers never get this file.

/** How a paragraph's text is meant; see `Format` of the server. */
export type Format = "html" | "markdown" | "plain";

/** How a reply ended. */
export type Outcome = "complete" | "cut" | "stopped" | "refused" | "failed";

/** A fact of the conversation, as the API tells it. `at` is in seconds of UTC. */
export type Event = { seq: number; at: number } & (
  | { type: "customer_said"; text: string; message_id: string }
  | { type: "reply_started"; service: string; intent: string; to: number }
  | { type: "paragraph_said"; text: string; format: Format }
  | { type: "reply_revised"; keep: number }
  | { type: "reply_ended"; outcome: Outcome; detail: string; unavailable: boolean }
  | { type: "customer_verified"; customer_id: string; name: string; email: string }
  | { type: "customer_logged_out" }
  | { type: "order_proposed"; customer_id: string; lines: OrderLine[]; total: string }
  | { type: "order_sent"; customer_id: string; lines: OrderLine[]; total: string; to: number }
  | { type: "order_settled"; sent: number; order_id: string }
  | { type: "conversation_reset" }
  | { type: "tool_called" }
  | { type: "model_asked" }
);

export interface OrderLine {
  sku: string;
  name: string;
  quantity: number;
  /** Decimal, such as `166.85`. */
  unit_price: string;
  /** ISO 4217. */
  currency: string;
}

export interface Paragraph {
  text: string;
  format: Format;
}

/** The answer to a message, as far as it has come. */
export interface Reply {
  /** Number of the event that began it. */
  seq: number;
  /** Name of the service that answers. */
  service: string;
  paragraphs: Paragraph[];
  /** null while it is under way. */
  outcome: Outcome | null;
  /** A line for the customer where it is not complete. */
  detail: string;
}

/** A message and its reply. */
export interface Exchange {
  /** Number of the message; it names the exchange. */
  seq: number;
  messageId: string;
  text: string;
  at: number;
  /** null until a service takes it up. A newer reply takes an older one's place. */
  reply: Reply | null;
}

export interface Customer {
  name: string;
  email: string;
}

/** An order that waits for the customer's yes. */
export interface Proposal {
  lines: OrderLine[];
  total: string;
  at: number;
}

/** A message that the server has not stored yet. */
export interface Unsent {
  id: string;
  text: string;
  /** Milliseconds since 1970. */
  at: number;
  /** `sending`: under way, or in line. `waiting`: is tried again by itself. `failed`: only
   * when the person asks for it. */
  state: "sending" | "waiting" | "failed";
  /** Why it failed, for the person; else empty. */
  detail: string;
}

/** What `GET /api/welcome` tells. */
export interface Welcome {
  title: string;
  greeting: string;
  suggestions: string[];
  /** What people read of each service, by its name. */
  services: Record<string, string>;
  can_log_in: boolean;
  /** Seconds after the last message for which a customer stays logged in. */
  login_seconds: number;
  /** Seconds for which a proposed order waits for its yes. */
  proposal_seconds: number;
  /** Characters of a message. */
  message_limit: number;
}

/** What `GET …/events?stream=false` tells. */
export interface Page {
  events: Event[];
  /** Whether there are more right now. */
  more: boolean;
  /** What can be said about the answer under way; mostly empty. */
  notice: string;
}

/**
 * How the way to the server is. `idle`: nobody looks, or there is no conversation yet.
 * `waiting`: it failed and is tried again soon. `polling`: streams don't come through.
 */
export type Connection =
  | "idle"
  | "connecting"
  | "live"
  | "polling"
  | "waiting"
  | "offline";

/** Whoever shows a conversation. It is told that something changed, and looks it up. */
export interface View {
  /** This one is new, or has changed. */
  exchange(exchange: Exchange): void;
  /** All exchanges are gone: a reset, or another conversation. */
  cleared(): void;
  /** The paragraph that grows, whole; empty when there is none. */
  growing(text: string): void;
  /** Messages that were not stored yet have come, changed or gone. */
  unsent(): void;
  /** Anything else: connection, notice, customer, proposal, welcome, history loaded. */
  status(): void;
  /** Something that the person wished for did not work; in a sentence. */
  failed(why: string): void;
}
