package edgepack.module;

/** A message of a conversation. role: system, user or assistant. */
public final class Message {
    public final String role;
    public final String content;

    public Message(String role, String content) {
        if (role == null || content == null) {
            throw new IllegalArgumentException("a message's role or content is null");
        }
        this.role = role;
        this.content = content;
    }
}
