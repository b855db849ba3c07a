package edgepack.module;

/** Whose signature module.sig must be. `ship --sign` fills in the key; without one, hashes alone are checked. */
final class Signer {
    static final String PUBLIC_KEY = "";

    private Signer() {}
}
