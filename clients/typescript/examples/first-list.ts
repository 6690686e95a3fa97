// Show an investor a list, and say what they saw and clicked: `node first-list.ts <address> <user id>`.

import { argv, env } from "node:process";
import { Matchbook, event, impressions } from "matchbook-client";

const [address = "http://127.0.0.1:5000", investor = ""] = argv.slice(2);
const matchbook = new Matchbook(address, env.MATCHBOOK_KEY ? { key: env.MATCHBOOK_KEY } : {});
const answer = await matchbook.startupsForInvestor(investor, { limit: 5 });
answer.startups.forEach((startup, i) => console.log(i + 1, startup.id, startup.score.toFixed(2), startup.reasons.join("; ")));

const shown = impressions(answer, investor);
const clicked = answer.startups.slice(0, 1).map((first) => event("click", answer, investor, first.id));
const { accepted } = await matchbook.postEvents([...shown, ...clicked]);
console.log("accepted:", accepted);
