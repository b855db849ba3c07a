package edgepack.module;

/**
 * Whose signature, which name and which versions this code asks of its model: `ship` fills them in.
 *
 * <p>Without keys, hashes alone are checked. Without a name, neither name nor version nor time is.
 */
final class Signer {
    /** ed25519, 64 hexadecimal digits each. */
    static final String[] PUBLIC_KEYS = {};

    static final String NAME = "";

    /** Of the oldest model that this code opens. */
    static final String MINIMUM_VERSION = "0.0.0";

    private Signer() {}
}
