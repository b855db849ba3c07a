package edgepack.module;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * The file with the model's weights, as a runtime takes it: mapped where it lies in the module, decoded into memory where it is coded,
 * or decoded once into the app's cache and mapped from then on, as module.json says.
 */
final class Weights {
    private static final Object ONE_AT_A_TIME = new Object(); // file locks keep processes apart, and not the threads of one

    private Weights() {}

    /** name: the file that a runtime asks for. */
    static ByteBuffer of(ModuleFiles files, Manifest manifest, String name, int threads) throws IOException {
        Fields stated = manifest.fields.has("coded") ? manifest.fields.object("coded") : null;
        if (stated == null || !stated.text("file").equals(name)) {
            return files.map(name);
        }
        File cache = stated.text("start").equals("expand") ? files.cache() : null;
        return cache == null ? coded(files, stated).decoded(threads) : expanded(files, stated, cache, threads);
    }

    private static Coded coded(ModuleFiles files, Fields stated) throws IOException {
        String name = stated.text("coded");
        return new Coded(files.map(name), name, stated.whole("bytes"), stated.text("sha256"));
    }

    /** Made where it is not there, whole or not at all; what somebody damaged, and what an older module left, is removed. */
    @SuppressWarnings("try") // the lock is held, and nothing asks it anything
    private static ByteBuffer expanded(ModuleFiles files, Fields stated, File cache, int threads) throws IOException {
        synchronized (ONE_AT_A_TIME) {
            if (!cache.isDirectory() && !cache.mkdirs() && !cache.isDirectory()) {
                throw new IOException("the folder " + cache + " cannot be made");
            }
            try (RandomAccessFile held = new RandomAccessFile(new File(cache, "lock"), "rw");
                    FileLock lock = locked(held)) {
                File whole = new File(cache, new File(stated.text("file")).getName());
                if (!isWhole(whole, stated)) {
                    File[] left = cache.listFiles((folder, name) -> !name.equals("lock"));
                    for (File old : left == null ? new File[0] : left) {
                        old.delete();
                    }
                    write(coded(files, stated).decoded(threads), whole, stated);
                }
                return new FolderFiles(cache).map(whole.getName());
            }
        }
    }

    private static FileLock locked(RandomAccessFile held) throws IOException {
        try {
            return held.getChannel().lock();
        } catch (OverlappingFileLockException error) {
            throw new IOException("the weights are being expanded by this process already", error);
        }
    }

    private static void write(ByteBuffer content, File goal, Fields stated) throws IOException {
        if (goal.getParentFile().getUsableSpace() < content.limit()) {
            throw new PackException("the weights take " + content.limit() / 1_000_000 + " MB expanded, and " + goal.getParent()
                    + " has no room for them: free some");
        }
        File partial = new File(goal.getPath() + ".partial");
        try (RandomAccessFile file = new RandomAccessFile(partial, "rw")) {
            FileChannel channel = file.getChannel();
            ByteBuffer left = content.duplicate();
            while (left.hasRemaining()) {
                channel.write(left);
            }
            channel.force(true);
        } catch (IOException error) {
            partial.delete();
            throw error;
        }
        if (!isWhole(partial, stated) || !partial.renameTo(goal)) {
            partial.delete();
            throw new IOException("the expanded weights cannot be kept in " + goal.getParent());
        }
    }

    private static boolean isWhole(File file, Fields stated) throws IOException {
        if (!file.isFile() || file.length() != stated.whole("bytes")) {
            return false;
        }
        try (InputStream in = new java.io.FileInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] part = new byte[1 << 16];
            for (int count = in.read(part); count >= 0; count = in.read(part)) {
                digest.update(part, 0, count);
            }
            StringBuilder text = new StringBuilder();
            for (byte value : digest.digest()) {
                text.append(Character.forDigit((value >> 4) & 15, 16)).append(Character.forDigit(value & 15, 16));
            }
            return text.toString().equals(stated.text("sha256"));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
