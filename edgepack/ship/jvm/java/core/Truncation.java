package edgepack.module;

/** How a text that is too long is cut: what tokenizer.json says, which is what the teacher did. */
final class Truncation {
    private final int longest;
    private final String strategy;
    private final boolean left;

    private Truncation(Fields fields) {
        longest = fields.whole("max_length");
        strategy = fields.text("strategy");
        left = fields.has("direction") && fields.text("direction").equals("Left");
    }

    /** null where nothing is cut. */
    static Truncation read(Fields tokenizer) {
        return tokenizer.has("truncation") ? new Truncation(tokenizer.object("truncation")) : null;
    }

    /** What is kept of both texts, the second of which may be null. */
    Tokens[] cut(Tokens first, Tokens second, int special) {
        int room = Math.max(0, longest - special);
        int left = first.count;
        int right = second == null ? 0 : second.count;
        int over = left + right - room;
        if (over <= 0) {
            return new Tokens[] {first, second};
        }
        switch (room == 0 ? "none" : strategy) {
            case "none":
                left = right = 0;
                break;
            case "LongestFirst":
                int[] shares = second == null ? new int[] {room, 0} : shares(left, right, room);
                left = shares[0];
                right = shares[1];
                break;
            case "OnlyFirst":
                left = shorter(left, over);
                break;
            case "OnlySecond":
                right = shorter(right, over);
                break;
            default:
                throw new PackException("tokenizer.json: this code does not know the truncation " + strategy);
        }
        return new Tokens[] {part(first, left), part(second, right)};
    }

    private static int shorter(int count, int over) {
        if (count <= over) {
            throw new IllegalArgumentException("the other text leaves no room for the one that is cut");
        }
        return count - over;
    }

    /** The shorter text stays whole where it leaves room for the longer, else each has half. */
    private static int[] shares(int left, int right, int room) {
        int shorter = Math.min(left, right);
        int longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
        if (shorter + longer > room) {
            shorter = room / 2;
            longer = shorter + room % 2;
        }
        return left <= right ? new int[] {shorter, longer} : new int[] {longer, shorter};
    }

    private Tokens part(Tokens tokens, int count) {
        if (tokens == null || count >= tokens.count) {
            return tokens;
        }
        return left ? tokens.slice(tokens.count - count, tokens.count) : tokens.slice(0, count);
    }
}
