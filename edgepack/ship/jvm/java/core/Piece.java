package edgepack.module;

/** A part of a text on its way to the model; `added` is the id of an added token that it is, or -1. */
final class Piece {
    final Normalized text;
    final int added;

    Piece(Normalized text, int added) {
        this.text = text;
        this.added = added;
    }
}
