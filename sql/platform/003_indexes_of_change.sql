-- Indexes for recent changes: withdrawals, opt-outs, new and edited startups.
CREATE INDEX idx_startups_withdrawn_at ON startups (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

CREATE INDEX idx_users_opted_out_at ON users (opted_out_at) WHERE opted_out_at IS NOT NULL;

CREATE INDEX idx_startups_created_at ON startups (created_at);

CREATE INDEX idx_startups_updated_at ON startups (updated_at);
