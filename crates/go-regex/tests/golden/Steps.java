import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.regex.Pattern;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Writes the number of characters that Java's regular expressions test in the worst case.
 *
 * <pre>
 * java crates/go-regex/tests/golden/Steps.java &lt;crates/go-regex/tests/golden/steps.tsv &gt;new.tsv && mv new.tsv crates/go-regex/tests/golden/steps.tsv
 * </pre>
 *
 * A row is a pattern of Prometheus, its form for Java and a number, separated by tabs. The number
 * counts the calls of {@code charAt} for the worst string of {@link #LENGTH} characters that was
 * found; counting stops at {@link #MOST}. A pattern that has no form for Java has the form "none",
 * and is measured as it is written. Lines that start with "# " are comments.
 *
 * <p>The strings are made from the characters of the pattern, and the worst of them is then changed
 * step by step; each run makes the same ones.
 */
class Steps {
    private static final int LENGTH = 256;
    private static final int MOST = 2_000_000;
    /** The most changes to the worst string, and the most steps of all of them. */
    private static final int CHANGES = 3_000;
    private static final long CHANGE_STEPS = 60_000_000;

    public static void main(String[] arguments) throws IOException {
        var rows = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        var measured = new PrintStream(System.out, false, UTF_8);
        for (var row = rows.readLine(); row != null; row = rows.readLine()) {
            var fields = row.split("\t", -1);
            if (!row.startsWith("# ")) {
                var form = fields[1].equals("none") ? "(?s)\\A(?:" + fields[0] + ")\\z" : fields[1];
                fields[2] = String.valueOf(worst(Pattern.compile(form), fields[0]));
            }
            measured.println(String.join("\t", fields));
        }
        measured.flush();
    }

    private static int worst(Pattern pattern, String source) {
        var most = -1;
        String worst = null;
        for (var text : texts(source)) {
            var steps = steps(pattern, text);
            if (steps > most) {
                most = steps;
                worst = text;
            }
        }
        var random = new Random(1);
        var chars = characters(source);
        long all = 0;
        for (var change = 0; change < CHANGES && most < MOST && all < CHANGE_STEPS; change++) {
            var text = changed(worst, chars, random);
            var steps = steps(pattern, text);
            all += steps;
            if (steps >= most) {
                most = steps;
                worst = text;
            }
        }
        return most;
    }

    /** Writes one character, or a part of the string itself, over another part of it. */
    private static String changed(String text, List<String> chars, Random random) {
        var from = random.nextInt(LENGTH);
        var length = Math.min(1 + random.nextInt(random.nextBoolean() ? 3 : 64), LENGTH - from);
        String part;
        if (random.nextBoolean()) {
            part = chars.get(random.nextInt(chars.size())).repeat(length);
        } else {
            var copied = random.nextInt(LENGTH - length + 1);
            part = text.substring(copied, copied + length);
        }
        return text.substring(0, from) + part + text.substring(from + length);
    }

    private static LinkedHashSet<String> texts(String source) {
        var chars = characters(source);
        var parts = new LinkedHashSet<>(chars);
        for (var left : chars) {
            for (var right : chars) {
                parts.add(left + right);
            }
        }
        // The literals of the pattern, their starts, and all of them.
        var literals = new ArrayList<>(List.of(source.split("[^A-Za-z0-9/_-]+")));
        literals.removeIf(String::isEmpty);
        var start = literals.isEmpty() || !source.startsWith(literals.get(0)) ? "" : literals.get(0);
        for (var literal : literals) {
            for (var end = 1; end <= literal.length(); end++) {
                parts.add(literal.substring(0, end));
            }
        }
        parts.add(String.join("", literals));
        parts.add(String.join(".", literals));
        parts.removeIf(String::isEmpty);

        var texts = new LinkedHashSet<String>();
        for (var part : parts) {
            for (var before : new TreeSet<>(List.of("", start))) {
                var text = before + part.repeat(LENGTH);
                texts.add(text.substring(0, LENGTH));
                texts.add(text.substring(0, LENGTH - 1) + "!");
            }
        }
        for (var left : parts) {
            for (var right : parts) {
                if (texts.size() < 3_000) {
                    texts.add(left.repeat(LENGTH).substring(0, LENGTH / 2) + right.repeat(LENGTH).substring(0, LENGTH / 2));
                }
            }
        }
        return texts;
    }

    /** The letters and digits of a pattern, with the ends of its ranges, and a few others. */
    private static List<String> characters(String source) {
        var chars = new TreeSet<>(List.of("!", "a"));
        for (var c : source.toCharArray()) {
            if (Character.isLetterOrDigit(c) || "-_/.:".indexOf(c) >= 0) {
                chars.add(String.valueOf(c));
            }
        }
        return new ArrayList<>(chars);
    }

    private static int steps(Pattern pattern, String text) {
        var counted = new Counted(text);
        try {
            pattern.matcher(counted).find();
        } catch (TooMany | StackOverflowError error) {
            return MOST;
        }
        return counted.steps;
    }

    private static class TooMany extends RuntimeException {
        TooMany() {
            super(null, null, false, false);
        }
    }

    private static class Counted implements CharSequence {
        private final String text;
        private int steps;

        Counted(String text) {
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            steps++;
            if (steps >= MOST) {
                throw new TooMany();
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }
    }
}
