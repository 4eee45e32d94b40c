-- The jobs of the worker, in a schema that no other login may enter. A job is only a hint to look at
-- something: what is to be done stands in our own tables.

CREATE SCHEMA jobs;
SET LOCAL search_path = jobs;
-- include procrastinate.sql schema.sql
RESET search_path;
GRANT USAGE ON SCHEMA jobs TO tallystick_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO tallystick_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO tallystick_worker;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA jobs TO tallystick_worker;
