package edgepack.module;

import org.jspecify.annotations.NonNull;

/** A message of a conversation. role: system, user or assistant. */
public final class Message {
    public final @NonNull String role;
    public final @NonNull String content;

    public Message(@NonNull String role, @NonNull String content) {
        if (role == null || content == null) {
            throw new IllegalArgumentException("a message's role or content is null");
        }
        this.role = role;
        this.content = content;
    }
}
