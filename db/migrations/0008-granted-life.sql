-- How long a certificate was to live, in seconds, where somebody limited that (a token, a request, whoever issued it) and its issuer's
-- end cut it shorter: a renewal under the next issuer gives that long a life, and no longer. Of all others the certificate says it itself.

ALTER TABLE certificates ADD COLUMN granted INTEGER;
