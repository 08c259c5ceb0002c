import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.regex.Pattern;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Fills in what Java's regular expressions answer to the rows of a table.
 *
 * <pre>
 * java crates/go-regex/tests/golden/Answers.java &lt;crates/go-regex/tests/golden/java.tsv &gt;new.tsv && mv new.tsv crates/go-regex/tests/golden/java.tsv
 * </pre>
 *
 * A row is a pattern of Prometheus, the form of it for Java, an answer and a text, parted by tabs.
 * The answer is "yes" or "no": whether Java finds its form somewhere in the text, as {@code
 * regexp_like} does. A pattern that has no form for Java has "none" as its answer, and two empty
 * fields. {@code %09} stands for a tab and so on; lines that start with "# " are comments.
 */
class Answers {
    public static void main(String[] arguments) throws IOException {
        var rows = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        var answered = new PrintStream(System.out, false, UTF_8);
        for (var row = rows.readLine(); row != null; row = rows.readLine()) {
            var fields = row.split("\t", -1);
            if (row.startsWith("# ") || fields[2].equals("none")) {
                answered.println(row);
                continue;
            }
            var found = Pattern.compile(plain(fields[1])).matcher(plain(fields[3])).find();
            fields[2] = found ? "yes" : "no";
            answered.println(String.join("\t", fields));
        }
        answered.flush();
    }

    private static String plain(String field) {
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
