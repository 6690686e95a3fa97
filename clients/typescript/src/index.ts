// The client of Matchbook's reader: lists of recommendations, and events about them.

export { Matchbook } from "./operations.js";
export { MatchbookError } from "./transport.js";
export type { Options } from "./transport.js";
export { event, impressions, itemsOf } from "./events.js";
export type { Answer, Seen } from "./events.js";
export type * from "./types.js";
