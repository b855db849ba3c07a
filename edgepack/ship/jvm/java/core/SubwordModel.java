package edgepack.module;

/** Turns a piece of text into tokens. Safe to call from many threads at once. */
interface SubwordModel {
    /** Adds the tokens of a piece, with the spans of the original text that they came from. */
    void tokenize(Normalized piece, Tokens tokens);

    static SubwordModel read(Fields model, Vocabulary vocabulary) {
        switch (model.text("type")) {
            case "WordPiece":
                return new WordPiece(model, vocabulary);
            case "BPE":
                return new Bpe(model, vocabulary);
            case "Unigram":
                return new Unigram(model);
            default:
                throw model.unknown("type");
        }
    }
}
