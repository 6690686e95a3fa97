// One method for each request. Made by `make clients` from /openapi.json: do not edit.

import { Transport } from "./transport.js";
import type { Accepted, Event, Query, SimilarStartupList, SimilarStartupLists, SimilarUserList, SimilarUserLists, StartupList, StartupListRows, StartupLists, StartupsForDeveloperBecauseQuery, UserList, UserListRows, UserLists } from "./types.js";

/** A client of one reader. */
export class Matchbook extends Transport {
  /** startups/for-developer: the list of one user. */
  startupsForDeveloper(owner: string, query: Query = {}): Promise<StartupList> {
    return this.send("GET", `/api/recommendations/startups/for-developer/${encodeURIComponent(owner)}`, query);
  }

  /** startups/for-developer: the lists of several owners, all of one release. */
  startupsForDeveloperMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<StartupLists> {
    return this.send("POST", "/api/recommendations/startups/for-developer/many", query, { ids });
  }

  /** startups/for-investor: the list of one user. */
  startupsForInvestor(owner: string, query: Query = {}): Promise<StartupList> {
    return this.send("GET", `/api/recommendations/startups/for-investor/${encodeURIComponent(owner)}`, query);
  }

  /** startups/for-investor: the lists of several owners, all of one release. */
  startupsForInvestorMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<StartupLists> {
    return this.send("POST", "/api/recommendations/startups/for-investor/many", query, { ids });
  }

  /** developers/for-startup: the list of one startup. */
  developersForStartup(owner: string, query: Query = {}): Promise<UserList> {
    return this.send("GET", `/api/recommendations/developers/for-startup/${encodeURIComponent(owner)}`, query);
  }

  /** developers/for-startup: the lists of several owners, all of one release. */
  developersForStartupMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<UserLists> {
    return this.send("POST", "/api/recommendations/developers/for-startup/many", query, { ids });
  }

  /** investors/for-startup: the list of one startup. */
  investorsForStartup(owner: string, query: Query = {}): Promise<UserList> {
    return this.send("GET", `/api/recommendations/investors/for-startup/${encodeURIComponent(owner)}`, query);
  }

  /** investors/for-startup: the lists of several owners, all of one release. */
  investorsForStartupMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<UserLists> {
    return this.send("POST", "/api/recommendations/investors/for-startup/many", query, { ids });
  }

  /** startups/similar-to: the list of one startup. */
  startupsSimilarTo(owner: string, query: Query = {}): Promise<SimilarStartupList> {
    return this.send("GET", `/api/recommendations/startups/similar-to/${encodeURIComponent(owner)}`, query);
  }

  /** startups/similar-to: the lists of several owners, all of one release. */
  startupsSimilarToMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<SimilarStartupLists> {
    return this.send("POST", "/api/recommendations/startups/similar-to/many", query, { ids });
  }

  /** users/similar-to: the list of one user. */
  usersSimilarTo(owner: string, query: Query = {}): Promise<SimilarUserList> {
    return this.send("GET", `/api/recommendations/users/similar-to/${encodeURIComponent(owner)}`, query);
  }

  /** users/similar-to: the lists of several owners, all of one release. */
  usersSimilarToMany(ids: ReadonlyArray<string>, query: Query = {}): Promise<SimilarUserLists> {
    return this.send("POST", "/api/recommendations/users/similar-to/many", query, { ids });
  }

  /** startups/for-developer: the popular list, the same for everyone. */
  startupsForDeveloperPopular(query: Query = {}): Promise<StartupList> {
    return this.send("GET", "/api/recommendations/startups/for-developer/popular", query);
  }

  /** startups/for-developer: the trending list, the same for everyone. */
  startupsForDeveloperTrending(query: Query = {}): Promise<StartupList> {
    return this.send("GET", "/api/recommendations/startups/for-developer/trending", query);
  }

  /** startups/for-developer: what is similar to the items that an owner engaged with last. */
  startupsForDeveloperBecause(owner: string, query: StartupsForDeveloperBecauseQuery = {}): Promise<StartupListRows> {
    return this.send("GET", `/api/recommendations/startups/for-developer/${encodeURIComponent(owner)}/because`, query);
  }

  /** startups/for-investor: the popular list, the same for everyone. */
  startupsForInvestorPopular(query: Query = {}): Promise<StartupList> {
    return this.send("GET", "/api/recommendations/startups/for-investor/popular", query);
  }

  /** startups/for-investor: the trending list, the same for everyone. */
  startupsForInvestorTrending(query: Query = {}): Promise<StartupList> {
    return this.send("GET", "/api/recommendations/startups/for-investor/trending", query);
  }

  /** startups/for-investor: what is similar to the items that an owner engaged with last. */
  startupsForInvestorBecause(owner: string, query: StartupsForDeveloperBecauseQuery = {}): Promise<StartupListRows> {
    return this.send("GET", `/api/recommendations/startups/for-investor/${encodeURIComponent(owner)}/because`, query);
  }

  /** developers/for-startup: the popular list, the same for everyone. */
  developersForStartupPopular(query: Query = {}): Promise<UserList> {
    return this.send("GET", "/api/recommendations/developers/for-startup/popular", query);
  }

  /** developers/for-startup: the trending list, the same for everyone. */
  developersForStartupTrending(query: Query = {}): Promise<UserList> {
    return this.send("GET", "/api/recommendations/developers/for-startup/trending", query);
  }

  /** developers/for-startup: what is similar to the items that an owner engaged with last. */
  developersForStartupBecause(owner: string, query: StartupsForDeveloperBecauseQuery = {}): Promise<UserListRows> {
    return this.send("GET", `/api/recommendations/developers/for-startup/${encodeURIComponent(owner)}/because`, query);
  }

  /** investors/for-startup: the popular list, the same for everyone. */
  investorsForStartupPopular(query: Query = {}): Promise<UserList> {
    return this.send("GET", "/api/recommendations/investors/for-startup/popular", query);
  }

  /** investors/for-startup: the trending list, the same for everyone. */
  investorsForStartupTrending(query: Query = {}): Promise<UserList> {
    return this.send("GET", "/api/recommendations/investors/for-startup/trending", query);
  }

  /** investors/for-startup: what is similar to the items that an owner engaged with last. */
  investorsForStartupBecause(owner: string, query: StartupsForDeveloperBecauseQuery = {}): Promise<UserListRows> {
    return this.send("GET", `/api/recommendations/investors/for-startup/${encodeURIComponent(owner)}/because`, query);
  }

  /** Store events, each event id once. */
  postEvents(events: ReadonlyArray<Event>): Promise<Accepted> {
    return this.send("POST", "/api/events", {}, { events });
  }
}
