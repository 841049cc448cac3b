internal import NatterModel
internal import NatterProtocol

/// The page that a browser gets at `/`, and its files.
enum WebPage {
    /// Compresses the files, so that no request waits for it.
    static func prepare() { _ = Page.shared }

    static func show(_ call: TypedCall<[UInt8]>, _: Void) {
        call.respond(reply(Page.shared.document, to: call, headers: documentHeaders))
    }

    static func showFile(_ call: TypedCall<[UInt8]>, _: Void) throws(APIError) {
        guard let file = Page.shared.file(call.parameters[0], call.parameters[1]) else {
            throw APIError(.notFound, "there is nothing at this path")
        }
        call.respond(reply(file, to: call, headers: [("Cache-Control", "public, max-age=31536000, immutable")]))
    }

    /// Only our own scripts run, and no text becomes a script or HTML: the page has no policy of Trusted Types.
    private static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'",
        "manifest-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ].joined(separator: "; ")

    /// The document is asked for again at each visit, so that a new release is seen at once.
    private static let documentHeaders = [
        (name: "Cache-Control", value: "no-cache"), ("Content-Security-Policy", policy),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ]

    private static func reply(
        _ file: PageFile, to call: TypedCall<[UInt8]>, headers: [(name: String, value: String)]
    ) -> Reply {
        let isCompressed = !file.compressed.isEmpty && call.head.acceptsGzip
        let tag = isCompressed ? "\"\(file.tag)-gzip\"" : "\"\(file.tag)\""
        var headers = headers
        headers += [
            ("Content-Type", file.type), ("ETag", tag), Reply.dependsOnEncoding, ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ]
        let body = ReplyBody.bytes(isCompressed ? file.compressed : file.bytes)
        if call.head.hasCopy(tag) { return Reply(status: 304, headers: headers, body: body) }
        if isCompressed { headers.append(Reply.isGzip) }
        return Reply(status: 200, headers: headers, body: body)
    }
}
