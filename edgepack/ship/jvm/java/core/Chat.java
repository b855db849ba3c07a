package edgepack.module;

import java.util.Collections;
import java.util.List;

/** A conversation becomes the text that the model was trained on, by the plain form of its chat template. */
final class Chat {
    private Chat() {}

    /**
     * IllegalStateException: no template, one without a plain form, or a message that has none. IllegalArgumentException: roles in an order
     * that the template refuses.
     */
    static String joined(Fields answers, List<Message> messages) {
        if (answers == null || !answers.has("chat_template")) {
            throw new IllegalStateException("the model has no chat template: give a prompt in place of messages");
        }
        if (!answers.has("chat_form")) {
            throw new IllegalStateException("the model's chat template depends on more than the roles, which this module does not"
                    + " render: give the finished text as a prompt");
        }
        Fields form = answers.object("chat_form");
        List<String> trimmed = form.texts("trimmed");
        List<String> lookedFor = form.has("looked_for") ? form.texts("looked_for") : Collections.emptyList();
        StringBuilder text = new StringBuilder();
        String before = null;
        for (Message message : messages) {
            for (String part : lookedFor) {
                if (message.content.contains(part)) {
                    throw new IllegalStateException("the model's chat template makes something else of a message with " + part
                            + ", which this module does not render: leave that part of the message out");
                }
            }
            Fields texts = form.object(before == null ? "first" : "between");
            text.append(around(texts, before == null ? message.role : before + " " + message.role));
            text.append(trimmed.contains(message.role) ? trimmed(message.content) : message.content);
            before = message.role;
        }
        if ("assistant".equals(before)) {
            throw new IllegalStateException("the conversation ends with the model's words, which this module does not go on with:"
                    + " end it with another message");
        }
        return text.append(around(form.object("last"), String.valueOf(before))).toString();
    }

    private static String around(Fields texts, String roles) {
        if (!texts.has(roles)) {
            throw new IllegalArgumentException("the chat template refuses the conversation at: " + roles);
        }
        return texts.text(roles);
    }

    /** Without white space at the ends, as Python's strip() sees it. */
    private static String trimmed(String text) {
        int start = 0;
        int end = text.length();
        while (start < end && isBlank(text.charAt(start))) {
            start++;
        }
        while (end > start && isBlank(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(start, end);
    }

    private static boolean isBlank(char character) {
        return Character.isWhitespace(character) || Character.isSpaceChar(character) || character == '\u0085';
    }
}
