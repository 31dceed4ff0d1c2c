"""Runs other programs for checks."""

import asyncio


async def run(*command, data=None, limit=30, fails=False):
    """A command to its end; its standard output and its messages."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=pipe if data is not None else asyncio.subprocess.DEVNULL,
        stdout=pipe, stderr=pipe,
    )
    try:
        out, messages = await asyncio.wait_for(process.communicate(data), limit)
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0 and not fails:
        raise AssertionError(
            f"{command[0]} ended with {process.returncode}:\n"
            f"{messages.decode(errors='replace')[-2000:]}{out.decode(errors='replace')[-500:]}"
        )
    return out, messages.decode(errors="replace")
