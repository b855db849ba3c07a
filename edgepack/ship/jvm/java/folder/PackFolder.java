package edgepack.module;

import java.io.File;
import org.jspecify.annotations.NonNull;

/** The model in a folder: on a desktop or a server, or where an app has downloaded it. Its files are checked like those of an app. */
public final class PackFolder {
    private PackFolder() {}

    /** Checks every file of the folder, whose module.json must be this module's, and opens the model with {@link #cores} threads. */
    public static @NonNull PackModel open(@NonNull File folder) {
        return open(folder, cores());
    }

    /** threads: that compute an answer; 1 or more. */
    public static @NonNull PackModel open(@NonNull File folder, int threads) {
        return PackModel.open(new FolderFiles(folder), ModelOpener::open, checked(threads));
    }

    /** Whether this machine answers as the one that was measured. */
    public static @NonNull SelfTest selfTest(@NonNull File folder) {
        return PackModel.selfTest(new FolderFiles(folder), ModelOpener::open, cores());
    }

    /** Threads where a call names none: half of the cores, one to four, which are the fast ones of most phones. */
    public static int cores() {
        return Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors() / 2));
    }

    static int checked(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads is less than 1: give at least one thread");
        }
        return threads;
    }
}
