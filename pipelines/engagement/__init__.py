"""What answers earned: clicks, applications, opinions, of those who were really shown something.

ledger     what was shown to whom and what came of it, read out of PostgreSQL
figures    rates and means of each method, route, surface, release, arm and day
arms       experiments: arms against the first one, and whether they are as large as they were drawn
expected   what the platform hopes for, beside what was measured
measure    all of it, kept where the report and the reader's metrics find it
"""
