package edgepack.module;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A JSON object whose fields are asked for by type; what is missing or of another type is a {@link PackException} with its place. */
final class Fields {
    private final Map<String, Object> content;
    private final String place;

    @SuppressWarnings("unchecked")
    Fields(Object value, String place) {
        this.content = (Map<String, Object>) cast(value, Map.class, place);
        this.place = place;
    }

    private static Object cast(Object value, Class<?> type, String place) {
        if (!type.isInstance(value)) {
            throw new PackException(place + " is missing or no " + type.getSimpleName().toLowerCase(java.util.Locale.ROOT));
        }
        return value;
    }

    private <T> T field(String name, Class<T> type) {
        return type.cast(cast(content.get(name), type, place + "." + name));
    }

    boolean has(String name) {
        return content.get(name) != null;
    }

    /** Whether the field stands there, be it null. */
    boolean states(String name) {
        return content.containsKey(name);
    }

    Iterable<String> names() {
        return content.keySet();
    }

    String text(String name) {
        return field(name, String.class);
    }

    int whole(String name) {
        long value = field(name, Long.class);
        if (value != (int) value) {
            throw new PackException(place + "." + name + " is too large");
        }
        return (int) value;
    }

    double number(String name) {
        return field(name, Number.class).doubleValue();
    }

    boolean yes(String name, boolean otherwise) {
        return has(name) ? field(name, Boolean.class) : otherwise;
    }

    Fields object(String name) {
        return new Fields(content.get(name), place + "." + name);
    }

    List<?> list(String name) {
        return field(name, List.class);
    }

    List<Fields> objects(String name) {
        List<Fields> result = new ArrayList<>();
        for (Object entry : list(name)) {
            result.add(new Fields(entry, place + "." + name));
        }
        return result;
    }

    List<String> texts(String name) {
        List<String> result = new ArrayList<>();
        for (Object entry : list(name)) {
            result.add((String) cast(entry, String.class, place + "." + name));
        }
        return result;
    }

    int[] wholes(String name) {
        List<?> values = list(name);
        int[] result = new int[values.size()];
        for (int index = 0; index < result.length; index++) {
            result[index] = ((Long) cast(values.get(index), Long.class, place + "." + name)).intValue();
        }
        return result;
    }

    double[] numbers(String name) {
        List<?> values = list(name);
        double[] result = new double[values.size()];
        for (int index = 0; index < result.length; index++) {
            result[index] = ((Number) cast(values.get(index), Number.class, place + "." + name)).doubleValue();
        }
        return result;
    }

    PackException unknown(String name) {
        return new PackException(place + ": this code does not know " + name + " " + content.get(name));
    }
}
