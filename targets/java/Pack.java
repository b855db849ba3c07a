package edgepack.module;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** A pack's runnable.json, as the module's code reads a manifest: what a module alone has is filled in. */
final class Pack {
    final String model;
    final String scoreModel; // null: the model itself gives scores
    final int vocab;
    final boolean isDecoder;
    private final File folder;
    private final Map<String, Object> stated;

    @SuppressWarnings("unchecked")
    Pack(File folder) {
        this.folder = folder;
        Object read = Json.parse(new FolderFiles(folder).read("runnable.json"));
        Fields fields = new Fields(read, "runnable.json");
        stated = (Map<String, Object>) read;
        model = fields.text("model");
        scoreModel = fields.has("score_model") ? fields.text("score_model") : null;
        vocab = fields.whole("vocab");
        isDecoder = fields.has("cache") && !fields.list("cache").isEmpty();
    }

    /** exact: compute u8 x s8 products without saturation where this CPU would saturate. */
    Manifest manifest(String file, boolean exact) {
        Map<String, Object> content = new LinkedHashMap<>(stated);
        content.put("schema", 1L);
        content.put("model", file);
        content.put("pack_id", "");
        content.put("golden_tolerance", 0L);
        content.put("files", Collections.emptyList());
        content.put("exact", exact && !Boolean.FALSE.equals(Device.saturates()));
        for (String wholes : new String[] {"stop_ids", "buckets"}) {
            content.putIfAbsent(wholes, Collections.emptyList());
        }
        for (String whole : new String[] {"max_length", "positions"}) {
            content.putIfAbsent(whole, 0L);
        }
        content.putIfAbsent("labels", Collections.emptyMap());
        return new Manifest(new Fields(content, "runnable.json"));
    }

    /** The pack's files; where weights lie is said for each graph apart: weights.json is that of `file`. */
    ModuleFiles files(String file) {
        FolderFiles inner = new FolderFiles(folder);
        return new ModuleFiles() {
            @Override
            public InputStream open(String name) throws IOException {
                return name.equals("weights.json") ? new FileInputStream(new File(folder, file + ".weights.json")) : inner.open(name);
            }

            @Override
            public ByteBuffer map(String name) throws IOException {
                return inner.map(name);
            }

            @Override
            public File cache() {
                return inner.cache();
            }
        };
    }
}
