// Types of requests and answers. Made by `make clients` from /openapi.json: do not edit.

/** Query parameters whose values are separated by commas. */
export const JOINED: readonly string[] = ["exclude"];

/** Surfaces: their lists have an owner who sees them. */
export const SURFACES: readonly string[] = ["startups/for-developer", "startups/for-investor", "developers/for-startup", "investors/for-startup"];

/** What made a list. */
export type Method = "content_based" | "als" | "als_reverse" | "two_tower" | "ensemble" | "popular" | "similar";

/** What proposed an item. */
export type Source = "content_based" | "als" | "als_reverse" | "two_tower" | "item_neighbours" | "popular" | "graph_filter";

export type EventType = "view" | "click" | "like" | "dislike" | "favorite" | "apply" | "interest" | "impression" | "dismiss" | "retract";

export interface Item {
  id: string;
  score: number;
  /** Sentences, the most specific first. */
  reasons: ReadonlyArray<string>;
  sources: ReadonlyArray<Source>;
}

export interface StartupList {
  startups: ReadonlyArray<Item>;
  /** Of the items, by id. */
  scores: Readonly<Record<string, number>>;
  surface: "startups/for-developer" | "startups/for-investor";
  method_used: Method;
  route: Method;
  model_version: string;
  interaction_count: number;
  reranked: boolean;
  ranker: "learned" | "mlp" | "stacked" | "rules" | null;
  ranker_version: string | null;
  generated_at: string;
  /** Of the whole answer. */
  release: string;
  source: "cache" | "live";
  /** The release is old. */
  stale: boolean;
  /** A server or model failed; this is the best available list. */
  degraded: boolean;
  /** Whether the platform knows the owner. */
  known: boolean;
  /** Ranks after filtering, before paging. */
  total: number;
  /** Fewer ranks than asked for; `reason` says why. */
  short: boolean;
  reason: string | null;
  /** Send it back with the events that follow from this answer. */
  answer_id: string | null;
  experiment: string | null;
  arm: string | null;
}

export interface UserList {
  users: ReadonlyArray<Item>;
  /** Of the items, by id. */
  scores: Readonly<Record<string, number>>;
  surface: "developers/for-startup" | "investors/for-startup";
  method_used: Method;
  route: Method;
  model_version: string;
  interaction_count: number;
  reranked: boolean;
  ranker: "learned" | "mlp" | "stacked" | "rules" | null;
  ranker_version: string | null;
  generated_at: string;
  /** Of the whole answer. */
  release: string;
  source: "cache" | "live";
  /** The release is old. */
  stale: boolean;
  /** A server or model failed; this is the best available list. */
  degraded: boolean;
  /** Whether the platform knows the owner. */
  known: boolean;
  /** Ranks after filtering, before paging. */
  total: number;
  /** Fewer ranks than asked for; `reason` says why. */
  short: boolean;
  reason: string | null;
  /** Send it back with the events that follow from this answer. */
  answer_id: string | null;
  experiment: string | null;
  arm: string | null;
}

export interface SimilarStartupList {
  startups: ReadonlyArray<Item>;
  /** Of the items, by id. */
  scores: Readonly<Record<string, number>>;
  surface: "startups/similar-to";
  method_used: Method;
  route: Method;
  model_version: string;
  interaction_count: number;
  reranked: boolean;
  ranker: "learned" | "mlp" | "stacked" | "rules" | null;
  ranker_version: string | null;
  generated_at: string;
  /** Of the whole answer. */
  release: string;
  source: "cache" | "live";
  /** The release is old. */
  stale: boolean;
  /** A server or model failed; this is the best available list. */
  degraded: boolean;
  /** Whether the platform knows the owner. */
  known: boolean;
  /** Ranks after filtering, before paging. */
  total: number;
  /** Fewer ranks than asked for; `reason` says why. */
  short: boolean;
  reason: string | null;
  /** Send it back with the events that follow from this answer. */
  answer_id: string | null;
  experiment: string | null;
  arm: string | null;
}

export interface SimilarUserList {
  users: ReadonlyArray<Item>;
  /** Of the items, by id. */
  scores: Readonly<Record<string, number>>;
  surface: "users/similar-to";
  method_used: Method;
  route: Method;
  model_version: string;
  interaction_count: number;
  reranked: boolean;
  ranker: "learned" | "mlp" | "stacked" | "rules" | null;
  ranker_version: string | null;
  generated_at: string;
  /** Of the whole answer. */
  release: string;
  source: "cache" | "live";
  /** The release is old. */
  stale: boolean;
  /** A server or model failed; this is the best available list. */
  degraded: boolean;
  /** Whether the platform knows the owner. */
  known: boolean;
  /** Ranks after filtering, before paging. */
  total: number;
  /** Fewer ranks than asked for; `reason` says why. */
  short: boolean;
  reason: string | null;
  /** Send it back with the events that follow from this answer. */
  answer_id: string | null;
  experiment: string | null;
  arm: string | null;
}

export interface StartupLists {
  /** By the owner's id. */
  lists: Readonly<Record<string, StartupList>>;
}

export interface UserLists {
  /** By the owner's id. */
  lists: Readonly<Record<string, UserList>>;
}

export interface SimilarStartupLists {
  /** By the owner's id. */
  lists: Readonly<Record<string, SimilarStartupList>>;
}

export interface SimilarUserLists {
  /** By the owner's id. */
  lists: Readonly<Record<string, SimilarUserList>>;
}

export interface StartupListRow {
  id: string;
  type: "view" | "click" | "like" | "favorite" | "apply" | "interest";
  at: string;
  list: SimilarStartupList;
}

export interface StartupListRows {
  because: ReadonlyArray<StartupListRow>;
  release: string;
  degraded: boolean;
  reason: string | null;
}

export interface UserListRow {
  id: string;
  type: "view" | "click" | "like" | "favorite" | "apply" | "interest";
  at: string;
  list: SimilarUserList;
}

export interface UserListRows {
  because: ReadonlyArray<UserListRow>;
  release: string;
  degraded: boolean;
  reason: string | null;
}

export interface Event {
  /** Your choice; an id counts once, so the same events may be sent again. */
  event_id: string;
  user_id: string;
  startup_id: string;
  type: EventType;
  /** Since 1970, not in the future by the clock of Redis; default: the time of receipt. */
  at?: string | null;
  /** The answer_id of the answer that showed the item. */
  answer_id?: string | null;
  /** The place in that list, from 1. */
  position?: number | null;
}

export interface Accepted {
  accepted: number;
}

export interface ErrorDetail {
  code: string;
  expected: string;
  got: string;
  hint: string;
}

export interface StartupsForDeveloperBecauseQuery {
  /** Items that the owner engaged with. */
  rows?: number;
  /** Places wanted. */
  limit?: number;
  /** Places to skip. */
  offset?: number;
  /** Only items of this category, in any case; repeat it to allow several. */
  category?: ReadonlyArray<string>;
  /** Only items of this field, in any case; repeat it to allow several. */
  field?: ReadonlyArray<string>;
  /** Only items of this type, in any case; repeat it to allow several. */
  type?: ReadonlyArray<string>;
  /** Only items of this stage, in any case; repeat it to allow several. */
  stage?: ReadonlyArray<string>;
  /** Only items of this location, in any case; repeat it to allow several. */
  location?: ReadonlyArray<string>;
  /** Up to 200 ids to leave out, separated by commas. */
  exclude?: ReadonlyArray<string>;
}

export interface Query {
  /** Places wanted. */
  limit?: number;
  /** Places to skip. */
  offset?: number;
  /** Only items of this category, in any case; repeat it to allow several. */
  category?: ReadonlyArray<string>;
  /** Only items of this field, in any case; repeat it to allow several. */
  field?: ReadonlyArray<string>;
  /** Only items of this type, in any case; repeat it to allow several. */
  type?: ReadonlyArray<string>;
  /** Only items of this stage, in any case; repeat it to allow several. */
  stage?: ReadonlyArray<string>;
  /** Only items of this location, in any case; repeat it to allow several. */
  location?: ReadonlyArray<string>;
  /** Up to 200 ids to leave out, separated by commas. */
  exclude?: ReadonlyArray<string>;
}
