DROP INDEX sessions_live;
