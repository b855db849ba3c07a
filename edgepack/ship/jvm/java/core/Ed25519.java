package edgepack.module;

import java.math.BigInteger;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/**
 * Checks ed25519 signatures (RFC 8032). Android has them from API 33 on, this code from any.
 *
 * <p>Slow and not in constant time: it sees nothing but public values, once at every start.
 */
final class Ed25519 {
    private static final BigInteger ONE = BigInteger.ONE;
    private static final BigInteger TWO = BigInteger.valueOf(2);
    private static final BigInteger P = TWO.pow(255).subtract(BigInteger.valueOf(19));
    private static final BigInteger ORDER = TWO.pow(252).add(new BigInteger("27742317777372353535851937790883648493"));
    private static final BigInteger D = BigInteger.valueOf(-121665).multiply(BigInteger.valueOf(121666).modInverse(P)).mod(P);
    private static final BigInteger ROOT = TWO.modPow(P.subtract(ONE).shiftRight(2), P);
    private static final BigInteger[] BASE = base();

    private Ed25519() {}

    static boolean verify(byte[] key, byte[] message, byte[] signature) {
        if (key.length != 32 || signature.length != 64) {
            return false;
        }
        byte[] first = Arrays.copyOf(signature, 32);
        BigInteger scalar = number(Arrays.copyOfRange(signature, 32, 64));
        BigInteger[] signer = point(key);
        BigInteger[] commitment = point(first);
        if (signer == null || commitment == null || scalar.compareTo(ORDER) >= 0) {
            return false;
        }
        BigInteger challenge = number(sha512(first, key, message)).mod(ORDER);
        return same(times(BASE, scalar), add(commitment, times(signer, challenge)));
    }

    private static byte[] sha512(byte[]... parts) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-512");
            for (byte[] part : parts) {
                digest.update(part);
            }
            return digest.digest();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static BigInteger number(byte[] littleEndian) {
        byte[] reversed = new byte[littleEndian.length];
        for (int index = 0; index < reversed.length; index++) {
            reversed[index] = littleEndian[reversed.length - 1 - index];
        }
        return new BigInteger(1, reversed);
    }

    private static BigInteger[] base() {
        BigInteger y = BigInteger.valueOf(4).multiply(BigInteger.valueOf(5).modInverse(P)).mod(P);
        BigInteger x = x(y, false);
        return new BigInteger[] {x, y, ONE, x.multiply(y).mod(P)};
    }

    /** X, Y, Z, T of an encoded point (RFC 8032, 5.1.3); null where it is none. */
    private static BigInteger[] point(byte[] encoded) {
        byte[] bytes = encoded.clone();
        boolean odd = (bytes[31] & 0x80) != 0;
        bytes[31] &= 0x7F;
        BigInteger y = number(bytes);
        BigInteger x = y.compareTo(P) >= 0 ? null : x(y, odd);
        return x == null ? null : new BigInteger[] {x, y, ONE, x.multiply(y).mod(P)};
    }

    private static BigInteger x(BigInteger y, boolean odd) {
        BigInteger square = y.multiply(y).mod(P);
        BigInteger wanted = square.subtract(ONE).multiply(D.multiply(square).add(ONE).modInverse(P)).mod(P);
        BigInteger x = wanted.modPow(P.add(BigInteger.valueOf(3)).shiftRight(3), P);
        if (!x.multiply(x).mod(P).equals(wanted)) {
            x = x.multiply(ROOT).mod(P);
        }
        if (!x.multiply(x).mod(P).equals(wanted) || x.signum() == 0 && odd) {
            return null;
        }
        return x.testBit(0) == odd ? x : P.subtract(x);
    }

    private static BigInteger[] add(BigInteger[] left, BigInteger[] right) {
        BigInteger a = left[1].subtract(left[0]).multiply(right[1].subtract(right[0])).mod(P);
        BigInteger b = left[1].add(left[0]).multiply(right[1].add(right[0])).mod(P);
        BigInteger c = TWO.multiply(left[3]).multiply(right[3]).multiply(D).mod(P);
        BigInteger d = TWO.multiply(left[2]).multiply(right[2]).mod(P);
        BigInteger e = b.subtract(a);
        BigInteger f = d.subtract(c);
        BigInteger g = d.add(c);
        BigInteger h = b.add(a);
        return new BigInteger[] {e.multiply(f).mod(P), g.multiply(h).mod(P), f.multiply(g).mod(P), e.multiply(h).mod(P)};
    }

    private static BigInteger[] times(BigInteger[] point, BigInteger scalar) {
        BigInteger[] sum = {BigInteger.ZERO, ONE, ONE, BigInteger.ZERO};
        for (int bit = scalar.bitLength() - 1; bit >= 0; bit--) {
            sum = add(sum, sum);
            if (scalar.testBit(bit)) {
                sum = add(sum, point);
            }
        }
        return sum;
    }

    private static boolean same(BigInteger[] left, BigInteger[] right) {
        return left[0].multiply(right[2]).subtract(right[0].multiply(left[2])).mod(P).signum() == 0
                && left[1].multiply(right[2]).subtract(right[1].multiply(left[2])).mod(P).signum() == 0;
    }
}
