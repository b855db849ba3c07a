package edgepack.module;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import org.jspecify.annotations.NonNull;

/** Where a module's files lie: a folder, or an app's assets. */
public interface ModuleFiles {
    @NonNull InputStream open(@NonNull String name) throws IOException;

    /** The file as memory that the system reads when it is touched; whoever asked must not write to it. */
    @NonNull ByteBuffer map(@NonNull String name) throws IOException;

    /** A folder of this module alone that may hold decoded weights from one start to the next; null where there is none. */
    default File cache() {
        return null;
    }

    /** A small file as a whole. */
    default byte @NonNull [] read(@NonNull String name) {
        try (InputStream in = open(name)) {
            java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
            byte[] part = new byte[1 << 16];
            for (int count = in.read(part); count >= 0; count = in.read(part)) {
                out.write(part, 0, count);
            }
            return out.toByteArray();
        } catch (IOException error) {
            throw new PackException(name + " is missing or cannot be read: install the app again", error);
        }
    }
}
