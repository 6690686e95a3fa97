"""The console: pages for people who operate Matchbook, and the JSON about single lists.

Jinja2 renders the pages. They need no script; console.js only draws charts from the tables under them.
"""
