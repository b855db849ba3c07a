package edgepack.module;

import java.util.Arrays;

/** Builds the next {@link Normalized} from the one before. */
final class Rewrite {
    private final Normalized old;
    private int[] chars;
    private int[] from;
    private int[] to;
    private int length;
    private int read;

    Rewrite(Normalized old, int room) {
        this.old = old;
        this.chars = new int[room];
        this.from = new int[room];
        this.to = new int[room];
    }

    void put(int character, int start, int end) {
        if (length == chars.length) {
            int room = Math.max(16, length * 2);
            chars = Arrays.copyOf(chars, room);
            from = Arrays.copyOf(from, room);
            to = Arrays.copyOf(to, room);
        }
        chars[length] = character;
        from[length] = start;
        to[length++] = end;
    }

    void keep(int start, int end) {
        for (int index = start; index < end; index++) {
            put(old.chars[index], old.from[index], old.to[index]);
        }
    }

    void replace(int index, int character) {
        put(character, old.from[index], old.to[index]);
    }

    /**
     * The next character, with what it stands for: 1 is one more for the character read last, 0 takes the place of the next one,
     * -n takes the place of the next one and swallows n behind it.
     */
    void next(int character, int change) {
        if (change > 0) {
            boolean first = read == 0;
            put(character, first ? 0 : old.from[read - 1], first ? 0 : old.to[read - 1]);
            return;
        }
        int place = Math.min(read, old.length - 1);
        put(character, old.from[place], old.to[place]);
        read = Math.min(old.length, read + 1 - change);
    }

    Normalized done() {
        return new Normalized(chars, from, to, length);
    }
}
