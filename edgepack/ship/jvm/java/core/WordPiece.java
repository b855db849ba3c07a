package edgepack.module;

import java.util.Map;

/** The longest known piece first, again and again (Schuster 2012, as in BERT); a word with an unknown rest is unknown as a whole. */
final class WordPiece implements SubwordModel {
    private final Trie beginnings = new Trie();
    private final Trie rests = new Trie();
    private final int unknown;
    private final int longestWord;

    WordPiece(Fields model, Vocabulary vocabulary) {
        String prefix = model.text("continuing_subword_prefix");
        for (Map.Entry<String, Integer> entry : vocabulary.entries()) {
            beginnings.add(entry.getKey(), entry.getValue());
            if (entry.getKey().startsWith(prefix)) {
                rests.add(entry.getKey().substring(prefix.length()), entry.getValue());
            }
        }
        unknown = vocabulary.id(model.text("unk_token"));
        if (unknown < 0) {
            throw new PackException("tokenizer.json: the vocabulary lacks " + model.text("unk_token"));
        }
        longestWord = model.whole("max_input_chars_per_word");
    }

    @Override
    public void tokenize(Normalized piece, Tokens tokens) {
        int first = tokens.count;
        int start = piece.length > longestWord ? -1 : 0;
        while (start >= 0 && start < piece.length) {
            start = longest(piece, start, tokens);
        }
        if (start < 0) {
            tokens.count = first;
            tokens.add(unknown, piece, 0, piece.length);
        }
    }

    /** Adds the longest token from `start` on; its end, or -1 where there is none. */
    private int longest(Normalized piece, int start, Tokens tokens) {
        Trie trie = start == 0 ? beginnings : rests;
        int node = Trie.ROOT;
        int id = Trie.NONE;
        int end = -1;
        for (int at = start; at < piece.length; at++) {
            node = trie.child(node, piece.chars[at]);
            if (node == Trie.NONE) {
                break;
            }
            if (trie.id(node) != Trie.NONE) {
                id = trie.id(node);
                end = at + 1;
            }
        }
        if (end > 0) {
            tokens.add(id, piece, start, end);
        }
        return end;
    }
}
