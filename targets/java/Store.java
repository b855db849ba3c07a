package edgepack.module;

import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A session's files by their hashes, as targets/store.py keeps them: taken over the pipe, placed under their names. */
final class Store {
    private static final int CHUNK = 1 << 16;

    private final File folder;

    Store(File folder) {
        this.folder = folder;
    }

    /** Those of the hashes that are not here with so many bytes and that content. */
    List<Object> missing(Fields files) throws IOException {
        List<Object> absent = new ArrayList<>();
        for (String digest : files.names()) {
            File file = new File(folder, checked(digest));
            if (!file.isFile() || file.length() != (long) files.number(digest) || !hash(file).equals(digest)) {
                file.delete();
                absent.add(digest);
            }
        }
        return absent;
    }

    /** Takes the `count` bytes that follow; they are read to the end also where there is no room for them: the next request follows. */
    void put(String sha256, long count, InputStream data) throws IOException {
        File partial = new File(folder, checked(sha256) + ".partial");
        MessageDigest digest = sha256();
        IOException failure = null;
        OutputStream file = null;
        try {
            folder.mkdirs();
            file = new FileOutputStream(partial);
        } catch (IOException error) {
            failure = error;
        }
        byte[] part = new byte[CHUNK];
        for (long left = count; left > 0; ) {
            int got = data.read(part, 0, (int) Math.min(left, CHUNK));
            if (got < 0) {
                throw new EOFException("the pipe ended within a file");
            }
            left -= got;
            digest.update(part, 0, got);
            if (failure == null) {
                try {
                    file.write(part, 0, got);
                } catch (IOException error) {
                    failure = error;
                }
            }
        }
        if (file != null) {
            file.close();
        }
        if (failure == null && !hexadecimal(digest.digest()).equals(sha256)) {
            failure = new IOException("a file came damaged: its hash is not the one that was announced");
        }
        if (failure != null || !partial.renameTo(new File(folder, sha256))) {
            partial.delete();
            throw failure != null ? failure : new IOException("a file could not be kept in " + folder);
        }
    }

    /** The folder `there` with files by name: the same bytes. */
    void place(File there, Fields files) throws IOException {
        Jobs.delete(there);
        if (!there.mkdirs()) {
            throw new IOException("cannot make " + there);
        }
        for (String name : files.names()) {
            File source = new File(folder, checked(files.text(name)));
            File goal = new File(there, checked(name));
            try {
                Files.createLink(goal.toPath(), source.toPath());
            } catch (IOException | UnsupportedOperationException | SecurityException error) { // Android's shell may make no hard links
                Files.copy(source.toPath(), goal.toPath());
            }
        }
    }

    void forget(List<String> digests) throws IOException {
        for (String digest : digests) {
            new File(folder, checked(digest)).delete();
        }
    }

    /** Leaves only `keep`. */
    void prune(List<String> keep) {
        String[] names = folder.list();
        for (String name : names == null ? new String[0] : names) {
            if (!keep.contains(name)) {
                new File(folder, name).delete();
            }
        }
    }

    /** A plain file name: nothing that leads out of its folder. */
    static String checked(String name) throws IOException {
        if (Arrays.asList("", ".", "..").contains(name) || name.contains("/") || name.indexOf(0) >= 0) {
            throw new IOException("not a plain file name: '" + name + "'");
        }
        return name;
    }

    private static String hash(File file) throws IOException {
        MessageDigest digest = sha256();
        byte[] part = new byte[CHUNK];
        try (InputStream in = new FileInputStream(file)) {
            for (int got = in.read(part); got >= 0; got = in.read(part)) {
                digest.update(part, 0, got);
            }
        }
        return hexadecimal(digest.digest());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String hexadecimal(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte value : bytes) {
            text.append(Character.forDigit((value >> 4) & 15, 16)).append(Character.forDigit(value & 15, 16));
        }
        return text.toString();
    }
}
