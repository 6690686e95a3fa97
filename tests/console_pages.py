"""The pages of the console without an id in their address: tests and benchmarks open all of them."""

PAGES = (
    "/",
    "/people",
    "/startups",
    "/releases",
    "/releases/compare",
    "/actions",
    "/actions/build",
    "/actions/rollback",
    "/actions/erase",
    "/actions/opt-out",
    "/words",
)
