// Makes events from answers: with the owner on the right side, a new event id, and the answer's id and place.

import type { Event, EventType, Item, StartupList, UserList } from "./types.js";

/** Return the items of either kind of list. */
export function itemsOf(answer: StartupList | UserList): ReadonlyArray<Item> {
  return "startups" in answer ? answer.startups : answer.users;
}

/**
 * Return what an owner did with an item of their answer.
 *
 * offset: of the request that gave the answer. at: by default the time at which the reader takes it.
 * Keep the event until the reader has taken it: the same event sent twice counts once.
 */
export function event(
  kind: EventType,
  answer: StartupList | UserList,
  owner: string,
  item: string,
  { offset = 0, at }: { offset?: number; at?: Date } = {},
): Event {
  const [user_id, startup_id] = "startups" in answer ? [owner, item] : [item, owner];
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
export function impressions(answer: StartupList | UserList, owner: string, { offset = 0 } = {}): Event[] {
  return itemsOf(answer).map((item) => event("impression", answer, owner, item.id, { offset }));
}
