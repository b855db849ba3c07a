package edgepack.module;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Tokens beside the model's, found in the text as they stand: some before it is normalized, some after. */
final class AddedTokens {
    private final Trie raw = new Trie();
    private final Trie normalized = new Trie();
    private final Map<Integer, String> texts = new HashMap<>();
    private final Set<String> special = new HashSet<>();
    private final Set<Integer> stripsLeft = new HashSet<>();
    private final Set<Integer> stripsRight = new HashSet<>();
    private final CharClass blank;
    private final Normalizer normalizer;

    AddedTokens(Fields tokenizer, Characters characters, Normalizer normalizer) {
        this.blank = characters.kind("white_space");
        this.normalizer = normalizer;
        for (Fields token : tokenizer.objects("added_tokens")) {
            if (token.yes("single_word", false)) {
                throw token.unknown("single_word");
            }
            add(token.text("content"), token.whole("id"), token);
        }
    }

    private void add(String content, int id, Fields token) {
        texts.put(id, content);
        if (token.yes("special", false)) {
            special.add(content);
        }
        if (token.yes("lstrip", false)) {
            stripsLeft.add(id);
        }
        if (token.yes("rstrip", false)) {
            stripsRight.add(id);
        }
        if (token.yes("normalized", false)) {
            Normalized text = normalizer.apply(Normalized.of(content.codePoints().toArray()));
            normalized.add(new String(text.chars, 0, text.length), id);
        } else {
            raw.add(content, id);
        }
    }

    /** null where no added token has the id. */
    String text(int id) {
        return texts.get(id);
    }

    boolean special(String text) {
        return special.contains(text);
    }

    /** Added tokens and, between them, what is left of the text, normalized. */
    List<Piece> pieces(int[] chars) {
        List<Piece> first = new ArrayList<>();
        find(raw, Normalized.of(chars), first);
        List<Piece> result = new ArrayList<>();
        for (Piece piece : first) {
            if (piece.added >= 0) {
                result.add(piece);
            } else {
                find(normalized, normalizer.apply(piece.text), result);
            }
        }
        return result;
    }

    private void find(Trie trie, Normalized text, List<Piece> pieces) {
        int behind = 0;
        int at = 0;
        while (at < text.length) {
            int end = at;
            int id = Trie.NONE;
            int node = Trie.ROOT;
            for (int next = at; next < text.length; next++) {
                node = trie.child(node, text.chars[next]);
                if (node == Trie.NONE) {
                    break;
                }
                if (trie.id(node) != Trie.NONE) {
                    id = trie.id(node);
                    end = next + 1;
                }
            }
            if (end == at) {
                at++;
                continue;
            }
            int start = at;
            int stop = end;
            while (stripsLeft.contains(id) && start > behind && blank.has(text.chars[start - 1])) {
                start--;
            }
            while (stripsRight.contains(id) && stop < text.length && blank.has(text.chars[stop])) {
                stop++;
            }
            if (behind < start) {
                pieces.add(new Piece(text.slice(behind, start), -1));
            }
            pieces.add(new Piece(text.slice(start, stop), id));
            behind = stop;
            at = stop;
        }
        if (behind < text.length) {
            pieces.add(new Piece(text.slice(behind, text.length), -1));
        }
    }
}
