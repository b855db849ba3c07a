package edgepack.module;

import java.util.Arrays;

/** One word while its symbols are merged, the earliest learned pair first (Sennrich 2016). Sizes count UTF-8 bytes. */
final class BpeWord {
    private final Merges merges;
    private int[] ids = new int[16];
    private int[] sizes = new int[16];
    private int[] before;
    private int[] behind;
    private int count;
    private long[] heap = new long[16];
    private int waiting;

    BpeWord(Merges merges) {
        this.merges = merges;
    }

    void add(int id, int size) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, count * 2);
            sizes = Arrays.copyOf(sizes, count * 2);
        }
        ids[count] = id;
        sizes[count++] = size;
    }

    int count() {
        return count;
    }

    int id(int index) {
        return ids[index];
    }

    int size(int index) {
        return sizes[index];
    }

    void merge() {
        before = new int[count];
        behind = new int[count];
        for (int index = 0; index < count; index++) {
            before[index] = index - 1;
            behind[index] = index + 1 < count ? index + 1 : -1;
            offer(index - 1, index);
        }
        while (waiting > 0) {
            long top = poll();
            join((int) top, (int) (top >>> 32));
        }
        int left = 0;
        for (int index = 0; index < count; index++) {
            if (sizes[index] > 0) {
                ids[left] = ids[index];
                sizes[left++] = sizes[index];
            }
        }
        count = left;
    }

    private void join(int left, int rank) {
        int right = behind[left];
        if (sizes[left] == 0 || right < 0) {
            return;
        }
        int now = merges.rank(ids[left], ids[right]);
        if (now < 0 || merges.result(now) != merges.result(rank)) {
            return; // one of the two was merged otherwise meanwhile
        }
        ids[left] = merges.result(rank);
        sizes[left] += sizes[right];
        sizes[right] = 0;
        behind[left] = behind[right];
        if (behind[left] >= 0) {
            before[behind[left]] = left;
        }
        offer(before[left], left);
        offer(left, behind[left]);
    }

    private void offer(int left, int right) {
        if (left < 0 || right < 0) {
            return;
        }
        int rank = merges.rank(ids[left], ids[right]);
        if (rank >= 0) {
            push((long) rank << 32 | left);
        }
    }

    private void push(long value) {
        if (waiting == heap.length) {
            heap = Arrays.copyOf(heap, waiting * 2);
        }
        int at = waiting++;
        while (at > 0 && heap[(at - 1) / 2] > value) {
            heap[at] = heap[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap[at] = value;
    }

    private long poll() {
        long top = heap[0];
        long last = heap[--waiting];
        int at = 0;
        while (at * 2 + 1 < waiting) {
            int child = at * 2 + 1;
            if (child + 1 < waiting && heap[child + 1] < heap[child]) {
                child++;
            }
            if (heap[child] >= last) {
                break;
            }
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = last;
        return top;
    }
}
