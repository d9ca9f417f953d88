"""What turns docs/ into the site besides mkdocs.yml: pages made from the code, links to files of the repository."""
