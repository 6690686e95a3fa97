// Makes events from answers: with the owner on the right side, a new event id, and the answer's id and place.

import { SURFACES } from "./types.js";
import type { Event, EventType, Item, SimilarStartupList, SimilarUserList, StartupList, UserList } from "./types.js";

/** A list of any kind. */
export type Answer = StartupList | UserList | SimilarStartupList | SimilarUserList;

/** Who saw a similar list. user: who saw similar startups. startup: for which similar people were shown. */
export interface Seen {
  user?: string;
  startup?: string;
}

/** Return the items of any kind of list. */
export function itemsOf(answer: Answer): ReadonlyArray<Item> {
  return "startups" in answer ? answer.startups : answer.users;
}

/**
 * Return what an owner did with an item of their answer. Throws a TypeError for a similar list without who saw it.
 *
 * offset: of the request that gave the answer. at: by default the time at which the reader takes it.
 * Keep the event until the reader has taken it: the same event sent twice counts once.
 */
export function event(
  kind: EventType,
  answer: Answer,
  owner: string,
  item: string,
  { offset = 0, at, ...seen }: Seen & { offset?: number; at?: Date } = {},
): Event {
  const by = whoSaw(answer, owner, seen);
  const [user_id, startup_id] = "startups" in answer ? [by, item] : [item, by];
  const place = itemsOf(answer).findIndex((shown) => shown.id === item);
  return {
    event_id: crypto.randomUUID(),
    user_id,
    startup_id,
    type: kind,
    ...(answer.answer_id === null ? {} : { answer_id: answer.answer_id }),
    ...(answer.answer_id === null || place < 0 ? {} : { position: offset + place + 1 }),
    ...(at === undefined ? {} : { at: at.toISOString() }),
  };
}

/** Return an impression of each item of an answer that was shown whole. */
export function impressions(
  answer: Answer,
  owner: string,
  { offset = 0, ...seen }: Seen & { offset?: number } = {},
): Event[] {
  whoSaw(answer, owner, seen); // also of an empty list
  return itemsOf(answer).map((item) => event("impression", answer, owner, item.id, { offset, ...seen }));
}

/** Return the owner of a surface's list, or who saw a similar one. */
function whoSaw(answer: Answer, owner: string, { user, startup }: Seen): string {
  const [side, by, other] = "startups" in answer ? ["user", user, startup] : ["startup", startup, user];
  const ofSurface = SURFACES.includes(answer.surface);
  if (ofSurface && user === undefined && startup === undefined) return owner;
  if (!ofSurface && by !== undefined && other === undefined) return by;
  const given = Object.entries({ user, startup }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  throw new TypeError(
    `expected a list of ${SURFACES.join(", ")}, or a similar list and ${side}, ` +
      `got ${[`a list of ${answer.surface}`, ...given].join(" and ")}; an event is about a person and a startup: ` +
      "name the user who saw similar startups (user), or the startup for which similar people were shown (startup)",
  );
}
