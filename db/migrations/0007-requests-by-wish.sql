-- What became of a wish, for protocols that ask by sending it again (EST). What was decided is kept for a month, so that this index of
-- random keys stays small, as those of capability and code do.

CREATE INDEX requests_decided ON requests (wish) WHERE status <> 0;
