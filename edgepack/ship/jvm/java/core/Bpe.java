package edgepack.module;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReferenceArray;

/** Byte pair encoding of a piece: its characters, merged. Words seen lately are remembered. */
final class Bpe implements SubwordModel {
    private static final int REMEMBERED = 1 << 13;
    private static final int LONGEST_REMEMBERED = 32;

    private final Vocabulary vocabulary;
    private final Merges merges;
    private final Map<Integer, Integer> single = new HashMap<>();
    private final int[] latin = new int[0x200];
    private final int[] bytes;
    private final int unknown;
    private final boolean fuses;
    private final boolean ignoresMerges;
    private final AtomicReferenceArray<Word> lately = new AtomicReferenceArray<>(REMEMBERED);

    Bpe(Fields model, Vocabulary vocabulary) {
        this.vocabulary = vocabulary;
        merges = new Merges(model.list("merges"), vocabulary);
        Arrays.fill(latin, -1);
        for (Map.Entry<String, Integer> entry : vocabulary.entries()) {
            String text = entry.getKey();
            if (!text.isEmpty() && text.codePointCount(0, text.length()) == 1) {
                single.put(text.codePointAt(0), entry.getValue());
                if (text.charAt(0) < latin.length) {
                    latin[text.charAt(0)] = entry.getValue();
                }
            }
        }
        unknown = model.has("unk_token") ? vocabulary.id(model.text("unk_token")) : -1;
        fuses = model.yes("fuse_unk", false);
        ignoresMerges = model.yes("ignore_merges", false);
        bytes = model.yes("byte_fallback", false) ? new int[256] : null;
        for (int value = 0; bytes != null && value < 256; value++) {
            bytes[value] = vocabulary.id(String.format("<0x%02X>", value));
        }
    }

    /** A word that was merged: tokens with their first character and the one behind their last. */
    private static final class Word {
        final int[] chars;
        final int[] ids;
        final int[] starts;
        final int[] ends;

        Word(int[] chars, int[] ids, int[] starts, int[] ends) {
            this.chars = chars;
            this.ids = ids;
            this.starts = starts;
            this.ends = ends;
        }
    }

    @Override
    public void tokenize(Normalized piece, Tokens tokens) {
        Word word = known(piece);
        for (int index = 0; index < word.ids.length; index++) {
            tokens.add(word.ids[index], piece, word.starts[index], word.ends[index]);
        }
    }

    private Word known(Normalized piece) {
        if (piece.length > LONGEST_REMEMBERED) {
            return merged(piece);
        }
        int hash = piece.length;
        for (int index = 0; index < piece.length; index++) {
            hash = hash * 31 + piece.chars[index];
        }
        int slot = (hash ^ hash >>> 15) & REMEMBERED - 1;
        Word word = lately.get(slot);
        if (word == null || !same(word.chars, piece)) {
            word = merged(piece);
            lately.set(slot, word);
        }
        return word;
    }

    private static boolean same(int[] chars, Normalized piece) {
        if (chars.length != piece.length) {
            return false;
        }
        for (int index = 0; index < chars.length; index++) {
            if (chars[index] != piece.chars[index]) {
                return false;
            }
        }
        return true;
    }

    private Word merged(Normalized piece) {
        int[] chars = Arrays.copyOf(piece.chars, piece.length);
        int whole = ignoresMerges ? vocabulary.id(new String(chars, 0, chars.length)) : -1;
        if (whole >= 0) {
            return new Word(chars, new int[] {whole}, new int[] {0}, new int[] {chars.length});
        }
        BpeWord word = new BpeWord(merges);
        spell(chars, word);
        word.merge();
        return placed(chars, word);
    }

    private void spell(int[] chars, BpeWord word) {
        int pending = 0; // bytes of an unknown token that is not written yet: the next may be fused with it
        for (int character : chars) {
            int size = Utf8.length(character);
            int id = character < latin.length ? latin[character] : single.getOrDefault(character, -1);
            if (id >= 0) {
                if (pending > 0) {
                    word.add(unknown, pending);
                    pending = 0;
                }
                word.add(id, size);
            } else if (!spellBytes(character, size, word) && unknown >= 0) {
                if (pending > 0 && !fuses) {
                    word.add(unknown, pending);
                    pending = 0;
                }
                pending += size;
            }
        }
        if (pending > 0) {
            word.add(unknown, pending);
        }
    }

    private boolean spellBytes(int character, int size, BpeWord word) {
        for (int part = 0; part < size; part++) {
            if (bytes == null || bytes[Utf8.part(character, part, size)] < 0) {
                return false;
            }
        }
        for (int part = 0; part < size; part++) {
            word.add(bytes[Utf8.part(character, part, size)], 1);
        }
        return true;
    }

    /** Sizes in bytes, one behind the other, become places of characters. */
    private static Word placed(int[] chars, BpeWord word) {
        int total = 0;
        for (int character : chars) {
            total += Utf8.length(character);
        }
        int[] holder = new int[total];
        int at = 0;
        for (int index = 0; index < chars.length; index++) {
            int end = at + Utf8.length(chars[index]);
            Arrays.fill(holder, at, end, index);
            at = end;
        }
        int[][] columns = new int[3][word.count()];
        int start = 0;
        for (int index = 0; index < word.count(); index++) {
            int end = start + word.size(index);
            columns[0][index] = word.id(index);
            columns[1][index] = holder[start];
            columns[2][index] = holder[end - 1] + 1;
            start = end;
        }
        return new Word(chars, columns[0], columns[1], columns[2]);
    }
}
