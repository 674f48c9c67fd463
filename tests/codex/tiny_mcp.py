"""A small MCP server on stdio: one tool returns text, the other text and a picture."""

from pathlib import Path

from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("tiny")


@server.tool()
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return f"the sum is {a + b}"


@server.tool()
def draw(color: str) -> list[str | Image]:
    """Draws a pixel."""
    return [f"a {color} pixel", Image(path=Path(__file__).with_name("pixel.png"))]


if __name__ == "__main__":
    server.run()
