// Show an investor a list, and say what they saw and clicked: `node first-list.ts <address> <user id>`.

import { argv, env, exit } from "node:process";
import { Matchbook, MatchbookError, event, impressions } from "matchbook-client";

async function show(address: string, investor: string): Promise<void> {
  const matchbook = new Matchbook(address, env.MATCHBOOK_KEY ? { key: env.MATCHBOOK_KEY } : {});
  const answer = await matchbook.startupsForInvestor(investor, { limit: 5 });
  const [first] = answer.startups;
  if (first === undefined) fail(`The list of ${investor} is empty: ${answer.reason}.`);
  answer.startups.forEach((startup, i) => console.log(i + 1, startup.id, startup.score.toFixed(2), startup.reasons.join("; ")));

  const clicked = event("click", answer, investor, first.id);
  const { accepted } = await matchbook.postEvents([...impressions(answer, investor), clicked]);
  console.log("accepted:", accepted);
}

function fail(sentence: string): never {
  console.error(sentence);
  exit(1);
}

const [address, investor, ...more] = argv.slice(2);
if (address === undefined || investor === undefined || more.length > 0) {
  fail("Give the address of the reader and the id of an investor: node first-list.ts <address> <user id>");
}
try {
  await show(address, investor);
} catch (error) {
  if (!(error instanceof MatchbookError)) throw error;
  fail(error.message);
}
