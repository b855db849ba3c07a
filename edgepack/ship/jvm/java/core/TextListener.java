package edgepack.module;

import org.jspecify.annotations.NonNull;

/** Receives a text while it is written, on the thread that asked for it. */
public interface TextListener {
    /** Text that later tokens do not change; false ends the writing. */
    boolean onText(@NonNull String piece);
}
