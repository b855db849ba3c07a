package edgepack.module;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * SentencePiece's normalization table: a double-array trie over UTF-8 bytes, and the texts that its leaves point to.
 *
 * <p>Looked up grapheme by grapheme where one has less than six bytes, else character by character, and the shortest match
 * replaces all of it: so Hugging Face's tokenizers does, and models were trained on that.
 */
final class Precompiled implements Normalizer {
    private static final int SHORT_GRAPHEME = 6;

    private final int[] units;
    private final byte[] texts;
    private final Graphemes graphemes;

    Precompiled(String base64, Characters characters) {
        byte[] bytes = decoded(base64);
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int size = bytes.length < 4 ? -1 : buffer.getInt();
        if (size < 0 || size % 4 != 0 || size > buffer.remaining()) {
            throw new PackException("tokenizer.json: the precompiled character map is damaged");
        }
        units = new int[size / 4];
        buffer.asIntBuffer().get(units);
        texts = new byte[bytes.length - 4 - size];
        System.arraycopy(bytes, 4 + size, texts, 0, texts.length);
        graphemes = new Graphemes(characters);
    }

    private static byte[] decoded(String base64) {
        try {
            return Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException error) {
            throw new PackException("tokenizer.json: the precompiled character map is no base64", error);
        }
    }

    @Override
    public Normalized apply(Normalized text) {
        Changes changes = new Changes(text.length);
        boolean modified = false;
        int at = 0;
        while (at < text.length) {
            int end = graphemes.end(text.chars, at, text.length);
            int[] whole = bytes(text.chars, at, end) < SHORT_GRAPHEME ? lookup(text.chars, at, end) : null;
            if (whole != null) {
                changes.replace(end - at, whole);
                modified = true;
                at = end;
            }
            for (; at < end; at++) {
                int[] spelling = lookup(text.chars, at, at + 1);
                if (spelling == null) {
                    changes.add(text.chars[at], 0);
                } else {
                    changes.replace(1, spelling);
                    modified = true;
                }
            }
        }
        return modified ? changes.written(text) : text;
    }

    private static int bytes(int[] chars, int start, int end) {
        int count = 0;
        for (int index = start; index < end && count < SHORT_GRAPHEME; index++) {
            count += Utf8.length(chars[index]);
        }
        return count;
    }

    /** What the shortest key that `chars` begin with becomes; null where there is none. */
    private int[] lookup(int[] chars, int start, int end) {
        int node = offset(units[0]);
        for (int index = start; index < end; index++) {
            int size = Utf8.length(chars[index]);
            for (int part = 0; part < size; part++) {
                int wanted = Utf8.part(chars[index], part, size);
                node ^= wanted;
                if (wanted == 0 || node >= units.length || (units[node] & 0x800000FF) != wanted) {
                    return null;
                }
                int unit = units[node];
                node ^= offset(unit);
                if ((unit >> 8 & 1) == 1) {
                    return text(units[node] & 0x7FFFFFFF);
                }
            }
        }
        return null;
    }

    private static int offset(int unit) {
        return unit >>> 10 << ((unit & 1 << 9) >>> 6);
    }

    private int[] text(int start) {
        int end = start;
        while (end < texts.length && texts[end] != 0) {
            end++;
        }
        return new String(texts, start, end - start, StandardCharsets.UTF_8).codePoints().toArray();
    }

    /** Characters and what each stands for, as in {@link Rewrite#next}. */
    private static final class Changes {
        private int[] chars;
        private int[] changes;
        private int length;

        Changes(int room) {
            chars = new int[room + 8];
            changes = new int[room + 8];
        }

        void add(int character, int change) {
            if (length == chars.length) {
                chars = java.util.Arrays.copyOf(chars, length * 2);
                changes = java.util.Arrays.copyOf(changes, length * 2);
            }
            chars[length] = character;
            changes[length++] = change;
        }

        void replace(int before, int[] after) {
            for (int character : after) {
                add(character, 0);
            }
            int more = after.length - before;
            for (int index = length - more; index < length; index++) {
                changes[index] = 1;
            }
            if (more < 0 && length > 0) {
                changes[length - 1] += more;
            }
        }

        Normalized written(Normalized text) {
            Rewrite rewrite = new Rewrite(text, length);
            for (int index = 0; index < length; index++) {
                rewrite.next(chars[index], changes[index]);
            }
            return rewrite.done();
        }
    }
}
