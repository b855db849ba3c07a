package edgepack.module;

/** Texts and their ids as a tree of code points; edges lie in one hash table. */
final class Trie {
    static final int ROOT = 0;
    static final int NONE = -1;

    private long[] keys = new long[1024];
    private int[] children = new int[1024];
    private int[] ids = new int[1024];
    private int edges;
    private int nodes = 1;

    Trie() {
        java.util.Arrays.fill(ids, NONE);
    }

    void add(String text, int id) {
        int node = ROOT;
        for (int index = 0; index < text.length(); ) {
            int character = text.codePointAt(index);
            index += Character.charCount(character);
            node = place(node, character);
        }
        ids[node] = id;
    }

    /** The node behind an edge, NONE where there is no such edge. */
    int child(int node, int character) {
        long key = key(node, character);
        int mask = keys.length - 1;
        for (int slot = slot(key, mask); keys[slot] != 0; slot = slot + 1 & mask) {
            if (keys[slot] == key) {
                return children[slot];
            }
        }
        return NONE;
    }

    /** The id of the text that ends at a node, NONE where none does. */
    int id(int node) {
        return ids[node];
    }

    private int place(int node, int character) {
        int next = child(node, character);
        if (next != NONE) {
            return next;
        }
        if (edges * 2 >= keys.length) {
            grow();
        }
        if (nodes == ids.length) {
            ids = java.util.Arrays.copyOf(ids, nodes * 2);
            java.util.Arrays.fill(ids, nodes, ids.length, NONE);
        }
        put(key(node, character), nodes);
        edges++;
        return nodes++;
    }

    private void put(long key, int child) {
        int mask = keys.length - 1;
        int slot = slot(key, mask);
        while (keys[slot] != 0) {
            slot = slot + 1 & mask;
        }
        keys[slot] = key;
        children[slot] = child;
    }

    private void grow() {
        long[] oldKeys = keys;
        int[] oldChildren = children;
        keys = new long[oldKeys.length * 2];
        children = new int[oldKeys.length * 2];
        for (int slot = 0; slot < oldKeys.length; slot++) {
            if (oldKeys[slot] != 0) {
                put(oldKeys[slot], oldChildren[slot]);
            }
        }
    }

    private static long key(int node, int character) {
        return (long) (node + 1) << 21 | character;
    }

    private static int slot(long key, int mask) {
        long mixed = key * 0x9E3779B97F4A7C15L;
        return (int) (mixed >>> 32) & mask;
    }
}
