import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.regex.Pattern;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Writes the results of Java's regular expressions into the rows of a table.
 *
 * <pre>
 * java crates/go-regex/tests/golden/Results.java &lt;crates/go-regex/tests/golden/java.tsv &gt;new.tsv && mv new.tsv crates/go-regex/tests/golden/java.tsv
 * </pre>
 *
 * A row is a pattern of Prometheus, its form for Java, a result and a string, separated by tabs. The
 * result is "yes" if Java finds the form somewhere in the string, as {@code regexp_like} does, else
 * "no". A pattern that has no form for Java has the result "none" and an empty form and string.
 * {@code %09} stands for a tab and so on; lines that start with "# " are comments.
 */
class Results {
    public static void main(String[] arguments) throws IOException {
        var rows = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        var results = new PrintStream(System.out, false, UTF_8);
        for (var row = rows.readLine(); row != null; row = rows.readLine()) {
            var fields = row.split("\t", -1);
            if (row.startsWith("# ") || fields[2].equals("none")) {
                results.println(row);
                continue;
            }
            var found = Pattern.compile(unescaped(fields[1])).matcher(unescaped(fields[3])).find();
            fields[2] = found ? "yes" : "no";
            results.println(String.join("\t", fields));
        }
        results.flush();
    }

    private static String unescaped(String field) {
        var text = new StringBuilder();
        for (var i = 0; i < field.length(); i++) {
            if (field.charAt(i) == '%') {
                text.append((char) Integer.parseInt(field.substring(i + 1, i + 3), 16));
                i += 2;
            } else {
                text.append(field.charAt(i));
            }
        }
        return text.toString();
    }
}
