/// The page that a browser gets at `/`.
enum WebPage {
    static func show(_ call: Call, _: Void) { call.respond(reply) }

    private static let reply = Reply(
        status: 200,
        headers: [
            ("Content-Type", "text/html; charset=utf-8"),
            // The page loads no resources, runs no scripts and sends nothing. No other page may frame it.
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src '\(styleHash)'; base-uri 'none'; form-action 'none'; "
                    + "frame-ancestors 'none'"
            ),
            ("Referrer-Policy", "no-referrer"), ("Cache-Control", "max-age=3600"),
        ], body: .bytes(Array(text.utf8)))

    /// The SHA-256 of `style` in Base64. A test checks it.
    private static let styleHash = "sha256-FsJEQcAg1+cl0l17v5LYeAFWd/aAvElIw5o6bx3Jja4="

    private static let style = """
        body{max-width:42rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;color:#222;background:#fff}
        pre{padding:.75rem;overflow-x:auto;background:#f2f2f2}
        code,pre{font-family:ui-monospace,monospace;font-size:.9rem}
        @media (prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}}
        """

    private static let text = """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>natter</title>
        <style>\(style)</style>
        </head>
        <body>
        <h1>natter</h1>
        <p>This is a natter server: it keeps conversations, and serves them to programs. There is nothing to log in to
        on this page; messages are read and written on the command line, by natter or by anything that speaks HTTP.</p>
        <h2>With natter</h2>
        <p><code>ADDRESS</code> is what your browser shows for this page, such as <code>https://chat.example.org</code>.</p>
        <pre>natter register NAME --server ADDRESS
        natter send hello, everyone
        natter log -f
        natter help</pre>
        <p>Where accounts are by invitation, add <code>--invite CODE</code>. With an account already,
        use <code>natter login NAME</code>.</p>
        <h2>With curl</h2>
        <pre>curl ADDRESS/healthz
        curl -H "Authorization: Bearer $TOKEN" "ADDRESS/v1/conversations/general/messages?limit=20"
        curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
          -d '{"conversation":"general","text":"hello"}' ADDRESS/v1/messages</pre>
        <p>A token comes from <code>natter token create</code>. natter-http(7) describes every request.</p>
        </body>
        </html>

        """
}
