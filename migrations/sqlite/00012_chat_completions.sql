-- +goose Up
-- What a request of the OpenAI-compatible API or its answer is more than its
-- text, as JSON, and the conversation that an answer is the end of, so that the
-- next request of it is kept in the same session.
ALTER TABLE chat_messages ADD COLUMN extra TEXT NOT NULL DEFAULT '';
ALTER TABLE chat_messages ADD COLUMN thread TEXT NOT NULL DEFAULT '';
CREATE INDEX chat_messages_threads ON chat_messages (user_id, thread) WHERE thread <> '';

-- +goose Down
DROP INDEX chat_messages_threads;
ALTER TABLE chat_messages DROP COLUMN thread;
ALTER TABLE chat_messages DROP COLUMN extra;
